"""Stages that turn recordings into what is trained on."""
