"""From a cohort and what is known of its codes to reasoning traces, checked one by one."""
