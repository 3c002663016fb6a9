# SPDX-License-Identifier: Apache-2.0
"""Graphs of workflows (proto/graph.h), made from a few words."""


def dataset(dataset_id, name="Dataset", description=None):
    return {"name": name, "description": description, "ref": {"dataset": {"dataset_id": dataset_id}}}


def app(app_id, config_id=None, name="App"):
    return {"name": name, "description": None, "ref": {"app": {"app_id": app_id, "config_id": config_id}}}


def placeholder(kind, name="Later"):
    return {"name": name, "description": None, "ref": {"placeholder": {"kind": kind}}}


def edge(text):
    """'patients.output > count.input'"""
    source, target = ((end.split(".")[0].strip(), end.split(".")[1].strip()) for end in text.split(">"))
    return {"source": {"id": source[0], "port": source[1]}, "target": {"id": target[0], "port": target[1]}}


def graph(objects, *edges, **positions):
    return {"v": "strongroom-graph-1", "objects": objects, "edges": {f"e{i}": edge(text) for i, text in enumerate(edges)},
            "positions": positions}
