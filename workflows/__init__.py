"""The control plane: what authors write, and what takes runs from submission to their end.

``api`` is what programs hold, ``authoring`` what authors write. ``control`` puts an orchestrator together, ``runs``
and ``scheduler`` hold what is alive. ``decisions``, ``state``, ``replay`` and ``schedules`` decide and are pure.
``queries`` and ``output`` are what people read, and ``home`` is the folder of an orchestrator.
"""
