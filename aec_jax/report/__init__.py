"""The report of an experiment: DIR/report/index.html and index.md."""

from aec_jax.report.clip_section import Shown
from aec_jax.report.experiment_page import PAGE, TEXT, write
from aec_jax.report.listening import Embedded

__all__ = ['PAGE', 'TEXT', 'Embedded', 'Shown', 'write']
