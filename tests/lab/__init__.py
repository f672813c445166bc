"""The lab: a small ISP in network namespaces, with real mail and Redis servers."""
