"""Record every topic as MCAP.

ros2 launch pgx_bringup record.launch.py record:=run_1
"""

from launch.actions import DeclareLaunchArgument, ExecuteProcess
from launch.substitutions import LaunchConfiguration

from launch import LaunchDescription


def generate_launch_description():
    """Describe it."""
    argument = DeclareLaunchArgument("record", default_value="recording", description="name of the recording")
    recorder = ExecuteProcess(
        cmd=["ros2", "bag", "record", "-s", "mcap", "-a", "-o", LaunchConfiguration("record")], output="screen"
    )
    return LaunchDescription([argument, recorder])
