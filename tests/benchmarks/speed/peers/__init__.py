"""Systems of others at the same work; each module needs the package that it is named after."""
