"""Training: one network in the open (`fit`), or a sweep of many (`fit_many`)."""

from helpers.training.batches import batches, reading_order
from helpers.training.fit import ADAM, SGD, cross_entropy, evaluate, fit
from helpers.training.many import fit_many, losses
from helpers.training.schedules import constant, linear_decay, one_cycle, range_test, warm_up
from helpers.training.sweeps import (
    Runs,
    best,
    parabola_vertex,
    steps_to,
)
