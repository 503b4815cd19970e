"""Of many compressions the best for a cost: menus, a choice under budgets, and files that are measured."""
