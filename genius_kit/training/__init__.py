"""One network trained: recipes, the loop, devices, checkpoints from which it resumes bit for bit, fine-tuning."""
