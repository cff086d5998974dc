"""The stand-in for pretrained networks sees shapes, not how bright or loud a window is."""

import pytest
import torch

from elision.kinds import KINDS
from elision.study.features import RandomFilters


@pytest.mark.parametrize("kind", [name for name, kind in KINDS.items() if kind.planar])
def test_filters_have_no_mean_so_that_a_constant_changes_nothing(kind):
    rows = torch.randn(4, KINDS[kind].channels, 32, 32, generator=torch.Generator().manual_seed(0))
    filters = RandomFilters(kind, width=5, seed=3)
    filters.fit(rows)
    features = filters(rows)
    assert features.std() > 0.1
    torch.testing.assert_close(filters(rows + 7), features, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(filters(torch.full_like(rows, 7)), torch.zeros_like(features), atol=1e-4, rtol=0)
