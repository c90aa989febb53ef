"""Unpaid carts over WeChat, SMS and e-mail: real adapters, fake providers, and people who answer."""
