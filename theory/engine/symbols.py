"""The letters of the formulas: what each stands for, its shape and its sign, in one place."""

import sympy
from sympy import Identity, MatrixSymbol, Rational, Symbol

N = Symbol("N", integer=True, positive=True)  # the dimension; stays symbolic in the proofs
I = Identity(N)
half, one = Rational(1, 2), sympy.S.One

alpha = Symbol("alpha", nonnegative=True)  # nominal_step
h = Symbol("h", positive=True)  # lambda_max(H), or an upper bound of it
eps = Symbol("epsilon", real=True)
dbar = Symbol("dbar", positive=True)  # max_i dbar_i
T = Symbol("T", integer=True, positive=True)  # horizon
t, k = sympy.symbols("t k", integer=True, nonnegative=True)
lam = Symbol("lamda", real=True)  # an eigenvalue
z = Symbol("z")  # a root of a characteristic polynomial


def square(name: str) -> MatrixSymbol:
    """An N x N matrix of the given name."""
    return MatrixSymbol(name, N, N)


def column(name: str) -> MatrixSymbol:
    """A column of N entries of the given name."""
    return MatrixSymbol(name, N, 1)


H = square("H")  # hessian, symmetric positive definite
K = square("K")  # H^1/2, symmetric positive definite
R = square("R")  # H^1/4, symmetric positive definite
P = square("P")  # preconditioner
P_star = square("Pstar")  # the optimal preconditioner
P_tilde = square("Ptilde")  # the preconditioner before the disturbance
Delta = square("Delta")  # the disturbance
M = square("M")  # alpha I + P
A = square("A")  # update_matrix I - M H
S = square("S")  # noise_covariance Cov(xi), symmetric
S0 = square("S0")  # covariance of the initial state, symmetric
Pi0 = square("Pi0")  # second moment S0 + m m^T of the initial state, symmetric
C = square("C")  # covariance of phi_t, symmetric
V = square("V")  # eigenvectors
L = square("L")  # eigenvalues, diagonal
phi, xi = column("phi"), column("xi")
grad = column("grad")

SYMMETRIC = frozenset(
    {H, K, R, M, P, P_star, P_tilde, Delta, S, S0, Pi0, C, L}
)  # a proof for a matrix that is not symmetric passes its own set
MEANING = {
    "H": "hessian, symmetric positive definite",
    "K": "H^1/2",
    "R": "H^1/4",
    "P": "preconditioner (meta-learned)",
    "M": "alpha I + P",
    "A": "update matrix I - M H",
    "S": "covariance of xi",
    "S0": "covariance of phi_0",
    "Pi0": "second moment of phi_0",
    "C": "covariance of phi_t",
    "h": "lambda_max(H), or an upper bound of it",
    "dbar": "max_i dbar_i",
}
