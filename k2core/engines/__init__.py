"""What trains, generates and spreads: Megatron-core, vLLM and Ray; nothing else imports these."""
