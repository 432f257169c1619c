"""A worker in another language: what protoc makes from proto/, Python's own gRPC, and the real parley_ps."""

import os
import struct
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # where the stubs are

import grpc

from proto import job_pb2, parameter_server_pb2 as wire, parameter_server_pb2_grpc
from tests.job import Task, program

TIMEOUT = 60  # seconds
INITIAL = [1.5, 1.5, 1.5]
LEARNING_RATE = 0.5  # a power of two: every expected value is exact


def floats(values):
    return struct.pack(f"<{len(values)}f", *values)


def spec():
    return job_pb2.JobSpec(
        name="python",
        num_workers=1,
        num_shards=1,
        parameters=[
            job_pb2.ParameterSpec(
                name="w",
                shape=[3],
                dtype=job_pb2.FLOAT32,
                initializer=job_pb2.Initializer(constant=job_pb2.Initializer.Constant(value=INITIAL[0])),
            )
        ],
        optimizer=job_pb2.Optimizer(learning_rate=LEARNING_RATE, sgd=job_pb2.Sgd()),
        policy=job_pb2.Policy(synchronous=job_pb2.Synchronous()),
    )


class AnyLanguageTest(unittest.TestCase):
    def setUp(self):
        self.shard = Task(
            "ps:0",
            [
                program("ps/parley_ps"),
                "--ps_hosts=localhost:0",
                "--worker_hosts=localhost:0",
                "--task_index=0",
            ],
        )
        self.addCleanup(self.shard.process.wait)
        self.addCleanup(self.shard.process.kill)
        address = self.shard.wait_for(r"ps:0 listening on (\S+:\d+)").group(1)
        channel = grpc.insecure_channel(
            address,
            options=[
                ("grpc.max_send_message_length", -1),
                ("grpc.max_receive_message_length", -1),
                ("grpc.enable_http_proxy", 0),
            ],
        )
        self.addCleanup(channel.close)
        self.stub = parameter_server_pb2_grpc.ParameterServerStub(channel)
        self.sender = wire.Sender(job="python", worker=0, incarnation=1)
        self.sequence = 0

        declared = self.stub.Declare(wire.DeclareRequest(spec=spec(), wait_ms=10000), timeout=TIMEOUT)
        self.assertEqual((declared.num_blocks, declared.bytes), (1, 12))
        joined = self.stub.Join(
            wire.JoinRequest(sender=self.sender, spec=spec(), wait_ms=10000), timeout=TIMEOUT
        )
        self.assertEqual(joined.step, 0)

    def push_pull(self, step, gradient, sequence=None, block=0, base_version=None, pull=True):
        """Pushes bytes as the gradient of `step`, and pulls what step + 1 sees."""
        if sequence is None:
            self.sequence += 1
            sequence = self.sequence
        return self.stub.PushPull(
            wire.PushPullRequest(
                sender=self.sender,
                step=step,
                sequence=sequence,
                wait_ms=10000,
                push=[block],
                base_version=[step if base_version is None else base_version],
                pull=[0] if pull else [],
                pull_step=step + 1,
                dtype=job_pb2.FLOAT32,
                payload=gradient,
            ),
            timeout=TIMEOUT,
        )

    def pull(self, step):
        answer = self.stub.PushPull(
            wire.PushPullRequest(
                sender=self.sender,
                step=step,
                wait_ms=10000,
                pull=[0],
                pull_step=step,
                dtype=job_pb2.FLOAT32,
            ),
            timeout=TIMEOUT,
        )
        return answer.version[0], list(struct.unpack("<3f", answer.payload))

    def assert_refused(self, code, names, call):
        with self.assertRaises(grpc.RpcError) as caught:
            call()
        self.assertEqual(caught.exception.code(), code, caught.exception.details())
        for name in names:
            self.assertIn(name, caught.exception.details())

    def test_a_push_is_applied_exactly_and_the_shard_ends_with_its_job(self):
        blocks = self.stub.DescribeBlocks(wire.DescribeBlocksRequest(job="python"), timeout=TIMEOUT).blocks
        self.assertEqual([(b.block, b.parameter, b.offset, b.size) for b in blocks], [(0, "w", 0, 3)])
        self.assertEqual(self.pull(0), (0, INITIAL))

        answer = self.push_pull(0, floats([1, -2, 0.25]))
        self.assertEqual(list(struct.unpack("<3f", answer.payload)), [1.0, 2.5, 1.375])
        self.assertEqual(list(answer.version), [1])
        self.assertEqual(list(answer.staleness), [0])

        self.push_pull(1, floats([0, 1, 1]), pull=False)
        self.assertEqual(self.pull(2), (2, [1.0, 2.0, 0.875]))

        status = self.stub.GetStatus(wire.GetStatusRequest(job="python"), timeout=TIMEOUT)
        self.assertEqual((status.pushes, status.bytes_pushed), (2, 24))
        self.assertEqual((status.min_version, status.max_version), (2, 2))
        self.assertEqual(status.workers[0].state, wire.GetStatusResponse.Worker.LIVE)

        self.stub.Barrier(wire.BarrierRequest(sender=self.sender, name="end", wait_ms=10000), timeout=TIMEOUT)
        self.stub.Leave(wire.LeaveRequest(sender=self.sender), timeout=TIMEOUT)
        self.assertEqual(self.shard.exit_code(), 0, self.shard.output())

    def test_a_retried_push_is_applied_once(self):
        first = self.push_pull(0, floats([1, 1, 1]), sequence=1)
        for _ in range(3):
            again = self.push_pull(0, floats([1, 1, 1]), sequence=1)
            self.assertEqual(again.payload, first.payload)
            self.assertEqual(list(again.staleness), list(first.staleness))
        self.assertEqual(self.pull(1), (1, [1.0, 1.0, 1.0]))

    def test_bad_requests_are_refused_and_change_nothing(self):
        self.push_pull(0, floats([1, 1, 1]))
        expected = (1, [1.0, 1.0, 1.0])
        invalid = grpc.StatusCode.INVALID_ARGUMENT
        refused = {
            "a NaN": (invalid, ["ps:0", "w"], lambda: self.push_pull(1, floats([1, float("nan"), 1]))),
            "an infinity": (invalid, ["ps:0", "w"], lambda: self.push_pull(1, floats([1, 1, float("-inf")]))),
            "too short": (invalid, ["payload"], lambda: self.push_pull(1, floats([1, 1]))),
            "too long": (invalid, ["payload"], lambda: self.push_pull(1, floats([1, 1, 1, 1]))),
            "no bytes": (invalid, ["payload"], lambda: self.push_pull(1, b"")),
            "an unknown block": (
                grpc.StatusCode.NOT_FOUND,
                ["ps:0", "block 7"],
                lambda: self.push_pull(1, floats([1, 1, 1]), block=7),
            ),
            "a step out of turn": (
                grpc.StatusCode.FAILED_PRECONDITION,
                ["ps:0"],
                lambda: self.push_pull(5, floats([1, 1, 1]), base_version=1),
            ),
            "a version yet to come": (
                invalid,
                ["w", "base_version 9"],
                lambda: self.push_pull(1, floats([1, 1, 1]), base_version=9),
            ),
            "over the limit": (
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                [],
                lambda: self.push_pull(1, bytes(65 << 20)),
            ),
            "another job": (
                grpc.StatusCode.NOT_FOUND,
                ["other"],
                lambda: self.stub.GetStatus(wire.GetStatusRequest(job="other"), timeout=TIMEOUT),
            ),
        }
        for what, (code, names, call) in refused.items():
            with self.subTest(what):
                self.assert_refused(code, names, call)
                self.assertEqual(self.pull(1), expected)
        # The step is still to be had.
        self.push_pull(1, floats([2, 0, 0]))
        self.assertEqual(self.pull(2), (2, [0.0, 1.0, 1.0]))

    def test_another_spec_is_refused(self):
        other = spec()
        other.optimizer.learning_rate = 0.25
        self.assert_refused(
            grpc.StatusCode.FAILED_PRECONDITION,
            ["learning_rate"],
            lambda: self.stub.Declare(wire.DeclareRequest(spec=other, wait_ms=10000), timeout=TIMEOUT),
        )
        illegal = spec()
        illegal.parameters[0].shape[0] = -3
        self.assert_refused(
            grpc.StatusCode.INVALID_ARGUMENT,
            ["w", "-3"],
            lambda: self.stub.Declare(wire.DeclareRequest(spec=illegal, wait_ms=10000), timeout=TIMEOUT),
        )

    def test_bytes_that_are_no_message_are_refused(self):
        channel = grpc.insecure_channel(self.shard.wait_for(r"listening on (\S+)").group(1))
        self.addCleanup(channel.close)
        raw = channel.unary_unary("/parley.v1.ParameterServer/PushPull")
        self.assert_refused(
            grpc.StatusCode.INVALID_ARGUMENT, ["malformed"], lambda: raw(b"\x7a\xff\x01", timeout=TIMEOUT)
        )
        self.assertEqual(self.pull(0), (0, INITIAL))


if __name__ == "__main__":
    unittest.main()
