"""Where events come from: Kafka, files, HTTP; and the one decoder that all of them share.

Adding a source is one file that implements :class:`evalsvc.protocols.Source` and passes
:func:`evalsvc.testing.sources.check_source`. What a message may look like is :mod:`evalsvc.sources.decode`.
"""
