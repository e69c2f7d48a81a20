"""The run folder: the source of truth of a run, and the only writer of its tracked files.

``folder`` has :class:`RunFolder`; ``setup`` what a run is started with, ``candidates`` and
``results`` what it reads and writes, ``files`` and ``tables`` the text of its files, ``store``
durable writing, ``lock`` who may write, ``check`` and ``fork`` the tools around it.
"""

from evomerge_compiler.run_folder.candidates import StoredCandidate
from evomerge_compiler.run_folder.folder import RunFolder
from evomerge_compiler.run_folder.setup import RunSetup

__all__ = ["RunFolder", "RunSetup", "StoredCandidate"]
