"""Grafana dashboards of Atheria as code; `tools/generate_dashboards.py` writes them as JSON into the chart.

Plain data instead of an SDK: five panel types are used, and what they need of Grafana's format fits on two pages.
"""
