"""The report of an experiment: DIR/report/index.html and index.md."""

from aec_jax.report.clip_section import Shown
from aec_jax.report.experiment_page import PAGE, write

__all__ = ['PAGE', 'Shown', 'write']
