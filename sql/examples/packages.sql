-- What can be bought. Prices in euro cents.
select id, credits, price_euro_cents, active
from ops.add_package('example', 'Example', 'For this page', 500, 500, p_sort_order => 900);
select id, credits, price_euro_cents, active from ops.change_package('example', p_credits => 550);
select jsonb_path_query_array(credits.packages(), '$[*] ? (@.id == "example")');

-- Off sale; who has begun to buy it may go on.
select id, credits, price_euro_cents, active from ops.retire_package('example');
