"""Adapters of the databases as their owners distribute them, one module per database.

Each module has a function ``read(name, root, options)`` that returns a
:class:`~mer_features.databases.listing.Listing`: the clips in the order of the sheet or of the folders, notes on
whatever does not match, and the published counts. :mod:`mer_features.databases` imports the module that the key
``adapter`` names. What the adapters share is in :mod:`mer_features.databases.adapter`. The page of each database in
``docs/databases`` describes its layout and its sources.
"""
