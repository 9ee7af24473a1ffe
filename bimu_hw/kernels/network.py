"""What the digital unit computes between the arrays: normalisation, activation, loss, and their derivatives.

All arrays are float32[sample, unit]. Source: Cottart, Ballet, Bonnet, Querlioz, ICML 2026, arXiv:2605.30198 (layer
normalisation without affine parameters after every layer, reverse binary gate); Ba, Kiros, Hinton, arXiv:1607.06450
(layer normalisation).
"""

from __future__ import annotations

import math

import numpy as np

from bimu_hw.kernels import jit

_F = np.float32
_EPSILON = 1e-5

#: Activation codes.
REVERSE_BINARY_GATE = 0
SIGN = 1


@jit
def normalise(y, out, inverse_deviation):
    """Normalise each row to mean 0 and variance 1: (y - mean) / sqrt(biased variance + 1e-5).

    Parameters
    ----------
    y : float32[sample, unit]
    out : float32[sample, unit]
    inverse_deviation : float32[sample]
        1 / sqrt(variance + 1e-5), kept for the derivative. *Mutates* `out`, `inverse_deviation`.
    """
    n_sample, n = y.shape
    for s in range(n_sample):
        mean = 0.0
        for j in range(n):
            mean += y[s, j]
        mean /= n
        variance = 0.0
        for j in range(n):
            d = y[s, j] - mean
            variance += d * d
        variance /= n
        inverse = 1.0 / math.sqrt(variance + _EPSILON)
        inverse_deviation[s] = _F(inverse)
        for j in range(n):
            out[s, j] = _F((y[s, j] - mean) * inverse)


@jit
def normalise_backward(delta, normal, inverse_deviation, out):
    """Turn the gradient with respect to normalised values into the gradient with respect to the values.

    For n units: out = inverse_deviation * (delta - mean(delta) - normal * mean(delta * normal)).

    Parameters
    ----------
    delta, normal : float32[sample, unit]
    inverse_deviation : float32[sample]
    out : float32[sample, unit]
        May be `delta` itself. *Mutates* `out`.
    """
    n_sample, n = delta.shape
    for s in range(n_sample):
        a = 0.0
        b = 0.0
        for j in range(n):
            a += delta[s, j]
            b += delta[s, j] * normal[s, j]
        a /= n
        b /= n
        for j in range(n):
            out[s, j] = _F(inverse_deviation[s] * (delta[s, j] - a - normal[s, j] * b))


@jit
def activate(normal, kind, out):
    """Apply the binary activation: gate h = 1 if |y| > 1 else 0, or sign h = 1 if y >= 0 else -1. *Mutates* `out`."""
    n_sample, n = normal.shape
    for s in range(n_sample):
        for j in range(n):
            y = normal[s, j]
            if kind == REVERSE_BINARY_GATE:
                out[s, j] = _F(1.0) if abs(y) > _F(1.0) else _F(0.0)
            else:
                out[s, j] = _F(1.0) if y >= _F(0.0) else _F(-1.0)


@jit
def activate_backward(delta, normal, kind, out):
    """Multiply a gradient by the activation's surrogate derivative.

    Gate: +1 for 0.5 < y < 1.5, -1 for -1.5 < y < -0.5, else 0. Sign: 1 for |y| <= 1, else 0 (straight-through
    estimator, Hubara et al., NeurIPS 2016). *Mutates* `out`, which may be `delta`.
    """
    n_sample, n = normal.shape
    for s in range(n_sample):
        for j in range(n):
            y = normal[s, j]
            slope = _F(0.0)
            if kind == REVERSE_BINARY_GATE:
                if _F(0.5) < y < _F(1.5):
                    slope = _F(1.0)
                elif _F(-1.5) < y < _F(-0.5):
                    slope = _F(-1.0)
            elif abs(y) <= _F(1.0):
                slope = _F(1.0)
            out[s, j] = delta[s, j] * slope


@jit
def loss_gradient(logits, label, out):
    """Return the loss -mean over samples of log_softmax(z)[label]; write each sample's own gradient to `out`.

    Parameters
    ----------
    logits : float32[sample, class]
    label : int
    out : float32[sample, class]
        softmax(z) - onehot(label): the gradient of the sample's loss, without the factor 1 / n_sample. *Mutates* `out`.
    """
    n_sample, n = logits.shape
    loss = 0.0
    for s in range(n_sample):
        top = logits[s, 0]
        for c in range(n):
            top = max(top, logits[s, c])
        total = 0.0
        for c in range(n):
            total += math.exp(logits[s, c] - top)
        for c in range(n):
            out[s, c] = _F(math.exp(logits[s, c] - top) / total)
        out[s, label] -= _F(1.0)
        loss -= logits[s, label] - top - math.log(total)
    return loss / n_sample


@jit
def query_uncertainty(logits):
    """Return the uncertainties of one query and its prediction.

    Parameters
    ----------
    logits : float32[sample, class]

    Returns
    -------
    tuple of (float, float, float, int, int)
        Aleatoric, epistemic and predictive uncertainty in bits; number of samples that disagree with the soft vote
        argmax_c mean_s softmax(softmax(z_s)); prediction, argmax_c mean_s log_softmax(z_s). Ties go to the lower class.
    """
    n_sample, n = logits.shape
    probability = np.empty(n)
    mean = np.zeros(n)
    score = np.zeros(n)
    vote = np.zeros(n)
    aleatoric = 0.0
    for s in range(n_sample):
        top = np.float64(logits[s, 0])
        for c in range(n):
            top = max(top, np.float64(logits[s, c]))
        total = 0.0
        for c in range(n):
            probability[c] = math.exp(logits[s, c] - top)
            total += probability[c]
        log_total = math.log(total)
        again = 0.0
        for c in range(n):
            p = probability[c] / total
            mean[c] += p / n_sample
            score[c] += logits[s, c] - top - log_total
            if p > 0.0:
                aleatoric -= p * math.log2(p) / n_sample
            probability[c] = math.exp(p)
            again += probability[c]
        for c in range(n):
            vote[c] += probability[c] / again
    predictive = 0.0
    prediction = 0
    chosen = 0
    for c in range(n):
        if mean[c] > 0.0:
            predictive -= mean[c] * math.log2(mean[c])
        if score[c] > score[prediction]:
            prediction = c
        if vote[c] > vote[chosen]:
            chosen = c
    disagreement = 0
    for s in range(n_sample):
        best = 0
        for c in range(n):
            if logits[s, c] > logits[s, best]:
                best = c
        disagreement += best != chosen
    # Never negative by Jensen's inequality; the difference of two rounded numbers may be, by an ulp.
    return aleatoric, max(predictive - aleatoric, 0.0), predictive, disagreement, prediction


@jit
def predictions(logits):
    """Return the prediction of each of many queries (float32[query, sample, class]), int64[query]; see
    `query_uncertainty`.
    """
    out = np.empty(logits.shape[0], np.int64)
    for n in range(out.size):
        out[n] = query_uncertainty(logits[n])[4]
    return out
