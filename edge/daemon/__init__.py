"""The running gateway: its three sides (field, cloud, people), and the desks that join the other rooms in them."""
