.PHONY: check test lint fuzz bench api

check: ## everything the gate runs
	.ci/run

test:
	go test -race -shuffle=on ./...

lint:
	GOWORK=off go tool -modfile=tools/go.mod golangci-lint run ./...

fuzz: ## one target until it is stopped: make fuzz NAME=FuzzRead IN=./wire
	go test -run '^$$' -fuzz '^$(NAME)$$' $(IN)

bench:
	go test -run '^$$' -bench . -benchmem .

api: ## write the exported surface down, after a change that is meant
	go test -run TestSurface -update .
