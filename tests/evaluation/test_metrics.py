import numpy as np
import pandas as pd
import pytest

from unichest_kedro.evaluation.metrics import expert_columns, mutual_information


def test_mutual_information_agrees_with_a_loop_and_with_its_limits():
    gates = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1]])
    overall = gates.mean(axis=0)
    expected = sum(0.5 * gates[s, k] * np.log2(gates[s, k] / overall[k]) for s in range(2) for k in range(3))
    assert mutual_information(gates) == pytest.approx(expected)
    assert mutual_information(np.full((4, 3), 1 / 3)) == 0
    assert mutual_information(np.eye(4)) == 2


def test_experts_are_in_the_order_of_their_numbers():
    assert expert_columns(pd.DataFrame(columns=["model", "expert_10", "expert_2", "main"])) == ["expert_2", "expert_10"]
