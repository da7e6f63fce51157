"""What the networks' layers share: convolutions whose gradient is fast on a CPU, dropout by episode."""
