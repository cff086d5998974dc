"""Networks for frames and spectrograms: shapes, weights from torch's cache, what frozen means, draws."""

import pytest
import torch
from torch import nn
from torchvision.models import get_model, get_model_weights

from elision.errors import InputError
from elision.registries import NETWORKS
from elision.vision import TORCHVISION, Own, network

SPECTROGRAM, FRAME = (64, 50), (3, 40, 48)
KINDS = {"frames": FRAME, "image": FRAME, "spectrogram": SPECTROGRAM}


def rows(kind, n=3, seed=0):
    g = torch.Generator().manual_seed(seed)
    if kind == "spectrogram":
        return 5 * torch.randn(n, 1, *SPECTROGRAM, generator=g) - 3
    return torch.randint(0, 256, (n, *FRAME), generator=g, dtype=torch.uint8)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty TORCH_HOME, and no network."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def offline(url, *args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def store_weights(cache, name="resnet18", weights="IMAGENET1K_V1"):
    """A file as torchvision would have left it, with weights of our own."""
    torch.manual_seed(7)
    model = get_model(name, weights=None)
    file = cache / get_model_weights(name)[weights].url.rsplit("/", 1)[-1]
    torch.save(model.state_dict(), file)
    return model


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [n for n in NETWORKS if n != "vgg16"])
def test_every_network_gives_k_features_and_every_parameter_a_gradient(name, kind):
    net = network(name, kind, KINDS[kind], 7)
    net.fit(rows(kind, 8))
    features = net(rows(kind))
    assert features.shape == (3, 7)
    features.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
    assert all(p.grad.abs().max() > 0 for p in net.projection.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_vgg(kind):
    assert network("vgg16", kind, KINDS[kind], 7)(rows(kind)).shape == (3, 7)


def test_frames_arrive_at_imagenets_mean_and_deviation():
    net = network("small-cnn", "frames", FRAME, 4)
    white = net.preparation(torch.full((1, *FRAME), 255, dtype=torch.uint8))[0, :, 0, 0]
    expected = torch.tensor([(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225])
    torch.testing.assert_close(white, expected)
    floats = net.preparation(torch.ones(1, *FRAME))[0, :, 0, 0]
    torch.testing.assert_close(floats, expected)


def test_spectrograms_are_standardised_by_what_was_fitted_and_repeated():
    net = network("resnet18", "spectrogram", SPECTROGRAM, 4)
    seen = rows("spectrogram", 8)
    net.fit(seen)
    x = net.preparation(seen)
    assert x.shape == (8, 3, *SPECTROGRAM)
    assert torch.equal(x[:, 0], x[:, 2])
    torch.testing.assert_close(x.mean(), torch.tensor(0.0), atol=1e-4, rtol=0)
    torch.testing.assert_close(x.std(correction=0), torch.tensor(1.0), atol=1e-4, rtol=0)


def test_numbers_are_standardised_by_column_and_blank_cells_are_the_mean():
    net = network("mlp", "features", (3,), 4)
    seen = torch.tensor([[1.0, 10.0, 5.0], [3.0, float("nan"), 5.0], [5.0, 30.0, 5.0]])
    net.fit(seen)
    x = net.preparation(seen)
    torch.testing.assert_close(x[:, 0].mean(), torch.tensor(0.0))
    assert x[1, 1] == 0
    assert torch.equal(x[:, 2], torch.zeros(3))
    assert net(seen).isfinite().all()


def test_pretrained_weights_come_from_torchs_cache(cache):
    theirs = store_weights(cache).eval()
    net = network("resnet18", "frames", FRAME, 4, weights="IMAGENET1K_V1").eval()
    x = net.preparation(rows("frames"))
    theirs.fc = nn.Identity()
    assert torch.equal(net.backbone(x), theirs(x))


def test_absent_weights_offline_name_the_file_and_the_folder(cache):
    with pytest.raises(InputError, match=r"resnet50-11ad3fa6.pth \(TORCH_HOME") as error:
        network("resnet50", "frames", FRAME, 4, weights="IMAGENET1K_V2")
    assert str(cache) in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name": "resnet18", "weights": "IMAGENET21K"}, "unknown weights of resnet18 'IMAGENET21K': choose from"),
        ({"name": "resnet99"}, "unknown encoder 'resnet99'"),
        ({"name": "small-cnn", "weights": "IMAGENET1K_V1"}, "has no pretrained weights"),
        ({"name": "resnet18", "frozen": True}, "frozen without pretrained weights"),
        ({"name": "resnet18", "kind": "features", "shape": (4,)}, "the modality holds numbers: use mlp"),
        ({"name": "vgg16", "shape": (3, 16, 16)}, "smaller than 32"),
    ],
)
def test_what_cannot_be_built_is_refused(arguments, words):
    with pytest.raises(InputError, match=words):
        network(**{"kind": "frames", "shape": FRAME, "n_features": 4, **arguments})


def test_a_file_of_another_network_is_refused(cache):
    file = cache / get_model_weights("resnet18")["IMAGENET1K_V1"].url.rsplit("/", 1)[-1]
    torch.save({"fc.weight": torch.zeros(1)}, file)
    with pytest.raises(InputError, match="does not fit resnet18"):
        network("resnet18", "frames", FRAME, 4, weights="IMAGENET1K_V1")


def test_a_frozen_backbone_keeps_its_weights_and_statistics(cache):
    store_weights(cache)
    net = network("resnet18", "frames", FRAME, 4, weights="IMAGENET1K_V1", frozen=True)
    before = {k: x.clone() for k, x in net.state_dict().items()}
    net.train()
    net(rows("frames")).sum().backward()
    assert {n for n, p in net.named_parameters() if p.grad is not None} == {"projection.weight", "projection.bias"}
    assert all(torch.equal(x, before[k]) for k, x in net.state_dict().items())
    assert not any(p.requires_grad for p in net.backbone.parameters())  # or weight decay shrinks them under DDP


def test_a_trained_backbone_does_not_keep_its_statistics():
    net = network("resnet18", "frames", FRAME, 4).train()
    before = net.backbone.layers.bn1.running_mean.clone()
    net(rows("frames"))
    assert not torch.equal(net.backbone.layers.bn1.running_mean, before)


def test_augmentation_is_off_unless_asked_for_and_drawn_from_torchs_generator():
    plain, moved = (network("small-cnn", "frames", FRAME, 4, augment=a).train().preparation for a in (False, True))
    x = rows("frames", 16)
    assert torch.equal(plain(x), plain(x))
    torch.manual_seed(1)
    first, second = moved(x), moved(x)
    torch.manual_seed(1)
    assert torch.equal(moved(x), first)
    assert not torch.equal(first, second)
    assert torch.equal(moved.eval()(x), plain(x))


def test_augmentation_shifts_and_mirrors_and_does_no_more():
    """A column of its own brightness each: wherever it lands, its neighbours are the same, one way or the other."""
    ramp = torch.arange(48, dtype=torch.uint8).expand(1, *FRAME).repeat(64, 1, 1, 1)
    moved = network("small-cnn", "frames", FRAME, 4, augment=True).train().preparation
    torch.manual_seed(0)
    seen = (moved(ramp) * moved.deviation + moved.mean)[:, 0, 20, 10:30] * 255
    steps = seen.diff(dim=1).round()
    assert set(steps[:, 5].tolist()) == {1.0, -1.0}
    assert len(set(seen[:, 0].round().tolist())) > 5


def test_the_small_network_treats_each_row_by_itself():
    net = network("small-cnn", "frames", FRAME, 4).eval()
    x = rows("frames", 4)
    torch.testing.assert_close(net(x)[:1], net(x[:1]))


@pytest.mark.parametrize("half", [torch.bfloat16])
def test_half_precision_is_the_encoders_own_affair(half):
    net = network("small-cnn", "frames", FRAME, 4).eval()
    whole = net(rows("frames"))
    net.autocast = half
    features = net(rows("frames"))
    assert features.dtype == torch.float32
    assert not torch.equal(features, whole)
    torch.testing.assert_close(features, whole, rtol=0.1, atol=0.05)


def test_channels_last_changes_the_layout_and_not_the_features():
    net = network("resnet18", "frames", FRAME, 4).eval()
    before = net(rows("frames"))
    net.set_channels_last()
    assert net.backbone.layers.conv1.weight.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(net(rows("frames")), before, rtol=1e-4, atol=1e-5)


def test_an_own_module_gets_rows_as_they_are():
    seen = []

    class Spy(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 3, dtype=torch.float64)

        def forward(self, x):
            seen.append(x.dtype)
            return self.layer(x.double())

    own = Own(Spy())
    own(torch.zeros(2, 2, dtype=torch.uint8))
    assert own(torch.zeros(2, 2)).dtype == torch.float64
    assert seen == [torch.uint8, torch.float64]


def test_torchvision_names_are_networks():
    assert set(TORCHVISION) <= set(NETWORKS)
