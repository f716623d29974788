"""Record and change the outputs of layers in any ``nn.Module``, by layer name.

    with record(network, "8x8") as seen:           # the output of 8x8, at each forward
        network(x)
    with ablate(network, "8x8", [3, 17]):          # filters 3 and 17 output zero
        network(x)
    with patch(network, "8x8", maps):              # these maps in place of its own
        network(x)
    with edit(network, "8x8", torch.relu):         # a function of its maps in their place
        network(x)
    maps = activations(network, "8x8", x)          # and nothing after 8x8 is computed
    images, maps = run_with_cache(network, x)      # the output, and every layer's output
    images = tail(network, "8x8")(maps)            # nothing before 8x8 is

A layer is named as ``named_modules`` names it. Nothing stays on the module when the ``with`` ends,
by an exception either.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
