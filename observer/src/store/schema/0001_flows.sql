CREATE TABLE IF NOT EXISTS flows (id INTEGER, source_ip TEXT, destination_ip TEXT);
