"""`halow-cloud`: what a fleet file says, made so on a ThingsBoard server through its REST API."""
