"""What the three servers share: settings, the gRPC server and its life, channels, deadlines."""
