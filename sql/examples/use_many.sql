select credits.grant('ada', 100, 'welcome', 'welcome-2026');
select credits.grant('ben', 10, 'welcome', 'welcome-2026');

-- Up to 1000 debits in one transaction. Each stands alone: one that is refused doesn't stop the others.
select credits.use_many('[
  {"userId": "ada", "amount": 30, "appId": "chat", "description": "An answer", "idempotencyKey": "job-1"},
  {"userId": "ben", "amount": 30, "appId": "chat", "description": "An answer", "idempotencyKey": "job-2"},
  {"userId": "ada", "amount": 0.5, "appId": "chat", "description": "Half a credit"}
]');
