"""Atheria under random kills, edits, deletions and outages, with steady calls: which were lost, and is the end as asked for?

`python -m bench.chaos` runs it, `make chaos` too. What is real: kube-apiserver, etcd, controllers, operator, activator,
Envoy, and in each pod the model server. What is played: scheduler and kubelet.
"""
