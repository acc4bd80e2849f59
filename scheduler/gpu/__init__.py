"""The GPUs of this host: what they are, what they have free, and who may use them."""

from scheduler.gpu.broker import Broker
from scheduler.gpu.inventory import NvmlInventory

__all__ = ["Broker", "NvmlInventory"]
