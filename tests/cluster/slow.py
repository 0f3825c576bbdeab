"""Group norm that takes its time in a job until it is queued again, to leave time to disturb it, and computes the same."""

import os
import time

from normzoo import GroupNorm


class Slow(GroupNorm):
    def forward(self, input):
        if "SLURM_JOB_ID" in os.environ and "SLURM_RESTART_COUNT" not in os.environ:
            time.sleep(0.03)
        return super().forward(input)
