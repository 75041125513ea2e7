SELECT harbour, level FROM levels ORDER BY level DESC LIMIT 1
