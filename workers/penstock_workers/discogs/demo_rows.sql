SELECT 'artists', count(*) FROM artists
UNION ALL SELECT 'labels', count(*) FROM labels
UNION ALL SELECT 'masters', count(*) FROM masters
UNION ALL SELECT 'releases', count(*) FROM releases
