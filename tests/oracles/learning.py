"""Textbook twins of `bimu_hw.learning`: plain Python loops, one sample and one synapse at a time.

Nothing here imports the package. Formulas are written in another form than there wherever there is one: explicit
Jacobian matrices instead of the folded layer-norm gradient, 1 - tanh^2 instead of exponentials, pairs instead of
ranks, counts instead of arrays.
"""

from __future__ import annotations

import math

import numpy as np

EPS = 1e-5


def sigmoid(a):
    return 1.0 / (1.0 + math.exp(-a)) if a >= 0 else math.exp(a) / (1.0 + math.exp(a))


def relaxed_weight(lam, u, temperature):
    return math.tanh((lam + 0.5 * math.log(u / (1.0 - u))) / temperature)


def hard_weight(lam, u):
    return 1.0 if u > 1.0 - sigmoid(2.0 * lam) else -1.0


def activate(y, activation):
    if activation == "sign":
        return -1.0 if y < 0.0 else 1.0
    return 1.0 if abs(y) > 1.0 else 0.0


def activation_slope(y, activation):
    if activation == "sign":
        return 1.0 if -1.0 <= y <= 1.0 else 0.0
    if 0.5 < y < 1.5:
        return 1.0
    return -1.0 if -1.5 < y < -0.5 else 0.0


def ramp(y, activation):
    """An antiderivative of the surrogate slope."""
    if activation == "sign":
        return min(max(y, -1.0), 1.0)
    return min(max(abs(y) - 0.5, 0.0), 1.0)


def normalise(sums):
    n = len(sums)
    mean = sum(sums) / n
    variance = sum((y - mean) ** 2 for y in sums) / n
    return [(y - mean) / math.sqrt(variance + EPS) for y in sums]


def normalise_jacobian(sums):
    """d normalised_i / d sums_j, entry by entry, from the quotient rule."""
    n = len(sums)
    mean = sum(sums) / n
    root = math.sqrt(sum((y - mean) ** 2 for y in sums) / n + EPS)
    jacobian = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            d_centred = (1.0 if i == j else 0.0) - 1.0 / n
            d_root = (sums[j] - mean) / (n * root)
            jacobian[i, j] = (d_centred * root - (sums[i] - mean) * d_root) / root**2
    return jacobian


def matvec(x, w):
    return [sum(x[i] * w[i][o] for i in range(len(x))) for o in range(len(w[0]))]


def softmax(z):
    top = max(z)
    e = [math.exp(v - top) for v in z]
    return [v / sum(e) for v in e]


def network(weights, x, activation, anchors=None):
    """Forward pass of one sample; returns (inputs, sums, normalised) of each layer.

    With `anchors` (the normalised values of each layer at some base point) the activation is replaced by the function
    that has its value there and whose derivative IS the surrogate: finite differences then see the surrogate.
    """
    layers, inputs = [], list(x)
    for k, w in enumerate(weights):
        sums = matvec(inputs, w)
        z = normalise(sums)
        layers.append((inputs, sums, z))
        if anchors is None:
            inputs = [activate(y, activation) for y in z]
        else:
            inputs = [
                activate(a, activation) + ramp(y, activation) - ramp(a, activation)
                for y, a in zip(z, anchors[k], strict=True)
            ]
    return layers


def sample_loss(weights, x, label, activation, anchors=None):
    return -math.log(softmax(network(weights, x, activation, anchors)[-1][2])[label])


def draw(lams, uniforms, s, kind, temperature):
    """All weights of sample s, layer by layer."""
    drawn = []
    for lam, u in zip(lams, uniforms, strict=True):
        w = np.empty(lam.shape)
        for i, o in np.ndindex(*lam.shape):
            if kind == "hard":
                w[i, o] = hard_weight(lam[i, o], u[s, i, o])
            else:
                w[i, o] = relaxed_weight(lam[i, o], u[s, i, o], temperature)
        drawn.append(w)
    return drawn


def weight_gradients(weights, x, label, activation):
    """d loss / d w of one sample by the chain rule with explicit Jacobians, layer by layer."""
    layers = network(weights, x, activation)
    p = softmax(layers[-1][2])
    upstream = np.array([p[c] - (1.0 if c == label else 0.0) for c in range(len(p))])
    gradients = [np.empty(0)] * len(weights)
    for k in range(len(weights) - 1, -1, -1):
        inputs, sums, _ = layers[k]
        d_sums = upstream @ normalise_jacobian(sums)
        gradients[k] = np.outer(inputs, d_sums)
        if k > 0:
            slopes = np.array([activation_slope(y, activation) for y in layers[k - 1][2]])
            upstream = (np.asarray(weights[k]) @ d_sums) * slopes
    return gradients


def loss_and_grad(lams, x, label, uniforms, gradient, temperature, activation):
    n_samples = len(uniforms[0])
    loss, grads = 0.0, [np.zeros(lam.shape) for lam in lams]
    for s in range(n_samples):
        weights = draw(lams, uniforms, s, "hard" if gradient == "hard" else "relaxed", temperature)
        loss += sample_loss(weights, x, label, activation) / n_samples
        by_weight = weight_gradients(weights, x, label, activation)
        for k, lam in enumerate(lams):
            for i, o in np.ndindex(*lam.shape):
                w, m = weights[k][i, o], math.tanh(lam[i, o])
                factor = {
                    "relaxed": (1.0 - w**2) / temperature,
                    "hard": 1.0 - m**2,
                    "bayesbinn": (1.0 - w**2 + 1e-7) / (temperature * (1.0 - m**2 + 1e-7)),
                }[gradient]
                grads[k][i, o] += by_weight[k][i, o] * factor / n_samples
    return loss, grads


def bimu_delta(lam, grad, lr, lr_max, likelihood_multiplier, kl_multiplier, memory_window):
    """One synapse, in the paper's order of operations."""
    g = likelihood_multiplier * grad
    s = kl_multiplier * (1.0 - math.tanh(lam) ** 2)
    alpha = 1.0 / (s + 2.0 * g * math.tanh(lam) + 2.0 * abs(g) + 1.0 / lr_max)
    return -alpha * (lr * g + lam * s / memory_window)


def entropy_bits(p):
    return sum(-v * math.log2(v) for v in p if v > 0.0)


def uncertainty(logits):
    """(aleatoric, epistemic, predictive, disagreement, prediction) of one query, from [sample][class] lists."""
    n_samples, n_class = len(logits), len(logits[0])
    rows = [softmax(z) for z in logits]
    mean = [sum(p[c] for p in rows) / n_samples for c in range(n_class)]
    aleatoric = sum(entropy_bits(p) for p in rows) / n_samples
    soft = [softmax(p) for p in rows]
    votes = [sum(p[c] for p in soft) / n_samples for c in range(n_class)]
    winner = votes.index(max(votes))
    disagreement = sum(1 for z in logits if list(z).index(max(z)) != winner)
    scores = [sum(math.log(p[c]) for p in rows) / n_samples for c in range(n_class)]
    predictive = entropy_bits(mean)
    return aleatoric, predictive - aleatoric, predictive, disagreement, scores.index(max(scores))


def roc_auc(scores_in, scores_out):
    """All pairs."""
    wins = sum((b > a) + 0.5 * (a == b) for a in scores_in for b in scores_out)
    return wins / (len(scores_in) * len(scores_out))


def expected_calibration_error(probabilities, labels, n_bins):
    total = 0.0
    for m in range(n_bins):
        inside = [
            (max(p), list(p).index(max(p)) == t)
            for p, t in zip(probabilities, labels, strict=True)
            if m / n_bins < max(p) <= (m + 1) / n_bins
        ]
        if inside:
            confidence = sum(c for c, _ in inside) / len(inside)
            accuracy = sum(hit for _, hit in inside) / len(inside)
            total += len(inside) / len(labels) * abs(accuracy - confidence)
    return total
