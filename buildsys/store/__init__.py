"""The content-addressed store: files by digest, and the index of what each action key gave."""

from buildsys.store.content import CorruptObject, Store, Stored, StoreError
from buildsys.store.database import DamagedIndex
from buildsys.store.index import Index, Trace
from buildsys.store.memo import Memo

__all__ = [
    "CorruptObject",
    "DamagedIndex",
    "Index",
    "Memo",
    "Store",
    "StoreError",
    "Stored",
    "Trace",
]
