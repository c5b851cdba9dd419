"""Machine unlearning by mode connectivity: methods, audit and report, without any service around them."""
