"""How the claims are measured: a module a topic, a function and a class of settings a claim."""
