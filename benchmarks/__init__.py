"""What jaxgen promises, measured: speed (`throughput`) and quality. Nothing here is imported by the package."""
