-- What operations cost, as apps see it: the first two of the list.
select jsonb_path_query_array(credits.pricing(), '$[0 to 1]');

-- The table behind it.
select operation, credits, unit, app from credits.operations order by sort_order;
