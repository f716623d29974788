"""GANs of third-party packages, with small random weights, as `Session.from_modules` takes them.

    pip install --no-deps pytorch-pretrained-biggan==0.1.1 stylegan2-pytorch==1.9.0 \\
        lightweight-gan==1.2.1 torch-mimicry==0.1.16 torchgan==0.1.0 pro-gan-pth==3.4 \\
        gan-lab==0.4.2 gigagan-pytorch==0.3.0 wgangp-pytorch==0.1.4
    pip install --no-deps torchvision==0.28.0 einops==0.8.2 kornia==0.9.0 kornia-rs==0.2.0 \\
        beartype==0.23.1 indexed==1.3.0

Each factory is what a user of the package writes. What only repairs packages is in `repairs`.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from typing import Any

import repairs
import torch
from torch import Tensor, nn

Given = dict[str, Any]


class Adapted(nn.Module):
    """A network that wants to be called in its own way."""

    def __init__(self, network: nn.Module, call: Callable[[Any, Tensor], Tensor]):
        super().__init__()
        self.network = network
        self.call = call

    def forward(self, x: Tensor) -> Tensor:
        return self.call(self.network, x)


def third(network: nn.Module, x: Tensor) -> Tensor:
    """The output of a network of classes for the third of them."""
    return network(x, torch.full((len(x),), 3, device=x.device))


def build_biggan_deep() -> Given:
    package = repairs.load("pytorch_pretrained_biggan")
    config = package.BigGANConfig(
        output_dim=32, z_dim=32, class_embed_dim=32, channel_width=8, num_classes=10
    )
    layers = [(False, 16, 16), (True, 16, 8), (False, 8, 8), (True, 8, 4), (True, 4, 2)]
    config.layers = [*layers, (False, 2, 1)]
    config.attention_layer_position = 2
    g = package.BigGAN(config)
    repairs.biggan(g)
    label = torch.eye(10)[3:4]
    return {
        "generator": Adapted(g, lambda g, z: g(z, label.expand(len(z), -1), 0.4)),
        "latent": 32,
    }


def build_stylegan2() -> Given:
    package = repairs.load("stylegan2_pytorch.stylegan2_pytorch")
    noise = torch.rand(1, 32, 32, 1)

    def draw(g: nn.ModuleDict, z: Tensor) -> Tensor:
        w = g["style"](z)[:, None].expand(-1, 4, -1)
        return 2 * g["image"](w, noise.expand(len(z), -1, -1, -1)).clamp(0, 1) - 1

    style = package.StyleVectorizer(64, 4, lr_mul=1)
    g = nn.ModuleDict({"style": style, "image": package.Generator(32, 64, network_capacity=4)})
    d = package.Discriminator(32, network_capacity=4)
    return {
        "generator": Adapted(g, draw),
        "discriminator": Adapted(d, lambda d, x: d(x)[0].view(-1, 1)),
        "latent": 64,
    }


def build_lightweight_gan() -> Given:
    package = repairs.load("lightweight_gan.lightweight_gan")
    g = package.Generator(image_size=32, latent_dim=64, fmap_max=32, attn_res_layers=[8])
    d = package.Discriminator(image_size=32, fmap_max=32)
    d.to_shape_disc_out = nn.Identity()  # a second score, and most of the time
    for part in g.modules():
        if isinstance(part, package.Noise):  # redrawn in each forward; trained, it has weight
            nn.init.zeros_(part.weight)
    return {
        "generator": Adapted(g, lambda g, z: 2 * g(z).clamp(0, 1) - 1),
        "discriminator": Adapted(d, lambda d, x: d(x)[0]),
        "latent": 64,
    }


def build_gigagan() -> Given:
    package = repairs.load("gigagan_pytorch.gigagan_pytorch")
    g = package.Generator(
        dim_capacity=4,
        dim_max=32,
        dim_latent=64,
        style_network={"dim": 32, "depth": 2, "lr_mul": 1.0},
        image_size=32,
        num_skip_layers_excite=2,
        unconditional=True,
        self_attn_resolutions=(16,),
        self_attn_dim_head=8,
        self_attn_heads=2,
    )
    for part in g.modules():
        if isinstance(part, package.Noise):  # redrawn in each forward; trained, it has weight
            nn.init.zeros_(part.weight)
    return {"generator": Adapted(g, lambda g, z: 2 * g(noise=z).clamp(0, 1) - 1), "latent": 32}


def build_sngan() -> Given:
    nets = repairs.load("torch_mimicry.nets")
    return {
        "generator": nets.sngan.SNGANGenerator32(nz=32, ngf=32),
        "discriminator": nets.sngan.SNGANDiscriminator32(ndf=32),
        "latent": 32,
    }


def build_sagan() -> Given:
    nets = repairs.load("torch_mimicry.nets")
    return {
        "generator": Adapted(nets.sagan.SAGANGenerator32(10, nz=32, ngf=32), third),
        "discriminator": Adapted(nets.sagan.SAGANDiscriminator32(10, ndf=32), third),
        "latent": 32,
    }


def build_cgan_pd() -> Given:
    nets = repairs.load("torch_mimicry.nets")
    return {
        "generator": Adapted(nets.cgan_pd.CGANPDGenerator32(10, nz=32, ngf=32), third),
        "discriminator": Adapted(nets.cgan_pd.CGANPDDiscriminator32(10, ndf=32), third),
        "latent": 32,
    }


def build_dcgan() -> Given:
    models = repairs.load("torchgan.models")
    return {
        "generator": models.DCGANGenerator(32, 32, 3, 16),
        "discriminator": models.DCGANDiscriminator(32, 3, 16),
        "latent": 32,
    }


def build_began() -> Given:
    models = repairs.load("torchgan.models")
    return {
        "generator": models.AutoEncodingGenerator(32, 32, 3, 16),
        "discriminator": models.AutoEncodingDiscriminator(32, 3, 32, 16),
        "latent": 32,
    }


def build_progan() -> Given:
    package = repairs.progan()
    g, d = package.Generator(5, 3, 64), package.Discriminator(5, 3, 64)
    # The standard deviation of one image alone, whatever else is in the batch.
    d.layers[-1].batch_discriminator = nn.ConstantPad3d((0, 0, 0, 0, 0, 1), 1e-4)
    return {
        "generator": Adapted(g, lambda g, z: g(z).clamp(-1, 1)),
        "discriminator": Adapted(d, lambda d, x: d(x, 5, 1.0)),
        "latent": 64,
    }


def build_stylegan() -> Given:
    generators = repairs.gan_lab("stylegan")
    discriminators = repairs.gan_lab("progan")
    g = generators.StyleGenerator(
        32,
        len_latent=32,
        len_dlatent=32,
        mapping_num_fcs=2,
        use_noise=False,
        pct_mixing_reg=0,
        truncation_trick_params={"beta": 0.995, "psi": 0.7, "cutoff_stage": None},
    )
    d = discriminators.ProDiscriminator(32)
    for part in (g, d):
        for _ in range(3):
            part.scale_inc_metadata_updated = False  # it counts on both being of one class
            part.increase_scale()
        part.alpha = 1
    return {
        "generator": Adapted(g, lambda g, z: g(z).clamp(-1, 1)),
        "discriminator": d,
        "latent": 32,
    }


def build_resnet_gan() -> Given:
    architectures = repairs.gan_lab("resnetgan")
    return {
        "generator": architectures.Generator32PixResnet(32, 32),
        "discriminator": architectures.Discriminator32PixResnet(32),
        "latent": 32,
    }


def build_wgan_gp_mlp() -> Given:
    model = repairs.load("wgangp_pytorch.model")
    sizes = Namespace(
        noise=32, channels=1, image_size=28, negative_slope=0.2, batch_norm_momentum=0.8
    )
    return {
        "generator": model.Generator(sizes),
        "discriminator": model.Discriminator(sizes),
        "latent": 32,
    }
