"""Nodes and edges into a graph, over Bolt."""
