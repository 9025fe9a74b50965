"""Every way to group at equal environment steps, over several seeds: does grouping pay, and how sure is that?"""
