"""Comparing networks: size, arithmetic, memory, accuracy and speed, beside torchvision's.

* `workloads`: one network's inference or training step, compiled and ready to be timed.
* `torchvision_peer`: the same network of torchvision, where that is installed.
* `measure`: what is missing of a comparison, timed in turns and kept as it is measured.
* `records`, `tables`, `figures`: measurements on disk, as Markdown and as pictures.
* `inspection_figures`: where a network's cost lies; how its units cluster.
"""

from jaxnets.study.networks.measure import Plan, measure_missing, plan_measurements
from jaxnets.study.networks.records import append_record, read_records, record_key, select
from jaxnets.study.networks.workloads import prepare_workload, sampled_variables

__all__ = [
    "Plan",
    "append_record",
    "measure_missing",
    "plan_measurements",
    "prepare_workload",
    "read_records",
    "record_key",
    "sampled_variables",
    "select",
]
