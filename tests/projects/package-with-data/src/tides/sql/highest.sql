select harbour, max(level + offset(harbour)) as level from levels group by harbour order by harbour
