SELECT style, count(*) AS releases, min(left(data->>'released', 4)) AS earliest
FROM releases CROSS JOIN jsonb_array_elements_text(data->'styles') AS style
GROUP BY style ORDER BY releases DESC, style LIMIT 5
