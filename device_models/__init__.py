"""Physics of devices, one file per model, and in ``cards/`` the numbers, one TOML file per device.

How to add a device
-------------------
*The physics is here already*: write a card. Copy the nearest file of ``cards/``, change name, values and sources,
and put it beside your scenario; the scenario names it by its file name. ``bimu-hw devices show`` lists what a model
asks for.

*The physics is new*: write one Python file, in any package.

1. ``Params`` and ``State``, two NamedTuples: floats, and arrays. Declare each field as a `ParamSpec` (unit, range
   and the neutral value at which the effect is off) or a `StateVar`. Numbers belong to the card, not to the file.
2. The kernels of `bimu_hw.devices` (``fabricate``, ``program``, ``pulse``, ... or ``bias``, ``sample``), compiled
   with `bimu_hw.kernels.jit`. `ideal_storage` and `ideal_sampler` are the shortest examples; `nonidealities` has
   what storage elements share. A draw is a function of (key, cell, device, pulse) and never of the place in the
   list. At neutral values the kernels give the bits of the ideal element, by arithmetic and not by a branch around
   it.
   A device that changes by itself (drift, relaxation, telegraph noise, refresh) has ``advance``, one that a look
   changes has ``disturb``; a sampling element that takes something from one query to the next names it in
   ``remembers``. What the framework promises about time stands in `bimu_hw.devices`.
3. ``MODEL = StorageModel(...)`` or ``SamplerModel(...)``, with its card in a folder ``cards`` beside the file or as
   text in ``cards=``.
4. Register it: ``[project.entry-points."bimu_hw.device_models"]``, ``my_device = "my_package.my_device:MODEL"``.
5. Test it: ``bimu_hw.testing.check_storage(MODEL, card)`` or ``check_sampler``. Parameters that make cells stuck
   have names beginning with ``stuck``, so that the suite finds them.

A new effect also gets a statistical test against its closed form, and each number of its card a source.
"""
