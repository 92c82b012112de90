"""Atheria without Kubernetes: server, Envoy, activator and autoscaler as processes of one machine, for `atheria demo`.

The server, the gateway and the scaling loop are those of the cluster; what stands in for Kubernetes is a few objects in memory
(`objects`, `memory_cluster`) and a loop that keeps as many server processes as the Deployment asks for (`pods`).
"""
